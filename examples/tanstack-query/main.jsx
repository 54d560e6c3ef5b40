import {
  QueryClient,
  QueryClientProvider,
  queryOptions,
  experimental_streamedQuery as streamedQuery,
  useQuery,
} from "@tanstack/react-query";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "spillway/client";

const connection = connect("ws://localhost:8080/ws");

const prices = queryOptions({
  queryKey: ["prices"],
  queryFn: streamedQuery({
    // The query ends the subscription when no component uses it any more.
    streamFn: ({ signal }) =>
      connection.subscribe("prices.*", { from: "last_per_subject", policy: "conflate", signal }),
    reducer: (known, item) =>
      item.type === "data" ? { ...known, [item.subject]: item.payload.value } : known,
    initialValue: {},
  }),
  // A fresh query would not begin again when a component comes back: keep `staleTime` at 0.
});

function Prices() {
  const { data = {}, error } = useQuery(prices);
  if (error !== null) return <p>{error.message}</p>;
  return (
    <ul>
      {Object.keys(data)
        .sort()
        .map((subject) => (
          <li key={subject}>{`${subject}: ${data[subject]}`}</li>
        ))}
    </ul>
  );
}

/** Shares the query, and with it the subscription. */
function Count() {
  const { data = {} } = useQuery(prices);
  return <p id="count">{Object.keys(data).length}</p>;
}

function App() {
  const [isOpen, setOpen] = useState(true);
  return (
    <QueryClientProvider client={queries}>
      <button type="button" onClick={() => setOpen(!isOpen)}>
        Prices
      </button>
      {isOpen && <Count />}
      {isOpen && <Prices />}
    </QueryClientProvider>
  );
}

const queries = new QueryClient();
createRoot(document.getElementById("root")).render(<App />);
