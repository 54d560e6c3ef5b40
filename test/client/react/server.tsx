/** Renders the page's first markup, as a server does, and says what that did with the connection. */
import { version } from "react";
import { renderToString } from "react-dom/server";
import { connect } from "spillway/client";
import { Activity, Boundary, Orders } from "./orders.tsx";

const calls: string[] = [];
const connection = connect("ws://localhost/", {
  transport: () => ({ send: ({ type }) => void calls.push(type), close() {} }),
});
connection.subscribe = () => {
  throw new Error("a server subscribes to nothing");
};

export const markup = renderToString(
  <Activity mode="visible">
    <Boundary>
      <Orders connection={connection} subject="orders.a" label="" />
    </Boundary>
  </Activity>,
);
export const asked = calls;
export { version };

void connection.close();
