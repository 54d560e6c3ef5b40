import { TARGETS } from "../support/runtimes.ts";
import { configuration } from "./suite/configuration.ts";
import { contract, THEMES } from "./suite/contract.ts";

// How it is configured is tested in node-dist.test.ts, on the same runtime.
contract(
  TARGETS.node,
  THEMES.filter((theme) => theme !== configuration),
);
