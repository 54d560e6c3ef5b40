/** A program of an app. The global `PROGRAM` names the one that runs, as all of them are one bundle. */
import "./surroundings.ts";

declare const PROGRAM: string;
declare const require: (file: string) => unknown;

const PROGRAMS: Readonly<Record<string, () => unknown>> = {
  engine: () => require("./engine.ts"),
  hook: () => require("./hook.ts"),
  receive: () => require("./receive.ts"),
  simulation: () => require("./simulation.ts"),
};
PROGRAMS[PROGRAM]!();
