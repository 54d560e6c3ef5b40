import * as React from "react";
import { Component, type FunctionComponent, type ReactNode } from "react";
import type { Connection } from "spillway/client";
import { useConnectionState, useStream } from "spillway/react";

export interface OrdersProps {
  readonly connection: Connection | undefined;
  readonly subject: string;
  /** Is shown before each number that comes from now on. */
  readonly label: string;
}

/** The numbers of all orders, as they came, and how the stream and its connection stand. */
export function Orders({ connection, subject, label }: OrdersProps) {
  const { value, error } = useStream(connection, subject, {
    from: "all",
    start: [] as readonly string[],
    fold(numbers, item) {
      if (item.type !== "data") return numbers;
      if (item.payload === "poison") throw new Error("can't fold poison");
      return [...numbers, `${label}${item.payload}`];
    },
  });
  const { type } = useConnectionState(connection);
  return <p>{[type, error?.code ?? "fine", ...value].join(" ")}</p>;
}

interface ActivityProps {
  readonly mode: "visible" | "hidden";
  readonly children: ReactNode;
}

/** React's own; in React 18, which has none, it only shows what is inside. */
export const Activity: FunctionComponent<ActivityProps> =
  React.Activity ?? (({ children }) => children);

/** Shows what a component inside has thrown. */
export class Boundary extends Component<{ readonly children: ReactNode }, { thrown?: unknown }> {
  static getDerivedStateFromError(thrown: unknown) {
    return { thrown };
  }

  override state: { thrown?: unknown } = {};

  override render() {
    const { thrown } = this.state;
    return thrown === undefined ? this.props.children : <p>{`thrown ${thrown}`}</p>;
  }
}
