import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "spillway/client";
import { useConnectionState, useStream } from "spillway/react";

const connection = connect("ws://localhost:8080/ws");

function Prices() {
  const { value, error } = useStream(connection, "prices.*", {
    from: "last_per_subject", // begins with the latest price of each product
    policy: "conflate",
    start: {},
    fold: (prices, item) =>
      item.type === "data" ? { ...prices, [item.subject]: item.payload.value } : prices,
  });
  if (error !== undefined) return <p>{error.message}</p>;
  return (
    <ul>
      {Object.keys(value)
        .sort()
        .map((subject) => (
          <li key={subject}>{`${subject}: ${value[subject]}`}</li>
        ))}
    </ul>
  );
}

/** Shows the number of prices since the page was opened, and the most expensive one of them. */
function Statistics() {
  const { value } = useStream(connection, "prices.*", {
    from: "new",
    start: { count: 0, highest: 0 },
    fold: ({ count, highest }, item) =>
      item.type === "data"
        ? { count: count + 1, highest: Math.max(highest, item.payload.value) }
        : { count, highest },
  });
  return <p id="statistics">{`${value.count} prices, up to ${value.highest}`}</p>;
}

function Dashboard() {
  const { type } = useConnectionState(connection);
  return (
    <main>
      <p id="state">{type}</p>
      <Statistics />
      <Prices />
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Dashboard />
  </StrictMode>,
);
