import { connect } from "spillway/client";
import { createApp, h, ref } from "vue";
import { useStream } from "./use-stream.js";

const connection = connect("ws://localhost:8080/ws");

const Prices = {
  setup() {
    const prices = useStream(connection, "prices.*", {
      from: "last_per_subject", // begins with the latest price of each product
      policy: "conflate",
      start: {},
      fold: (prices, item) =>
        item.type === "data" ? { ...prices, [item.subject]: item.payload.value } : prices,
    });
    return () =>
      h(
        "ul",
        Object.keys(prices.value)
          .sort()
          .map((subject) => h("li", { key: subject }, `${subject}: ${prices.value[subject]}`)),
      );
  },
};

const App = {
  setup() {
    const isOpen = ref(true);
    const toggle = () => {
      isOpen.value = !isOpen.value;
    };
    return () => [h("button", { onClick: toggle }, "Prices"), isOpen.value ? h(Prices) : undefined];
  },
};

createApp(App).mount("#root");
