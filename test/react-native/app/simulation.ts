/** The simulation of a client and its gateway, inside the engine. */
import { simulate } from "../../client/support/simulation.ts";
import { say } from "./say.ts";

declare const SEEDS: number;

void (async () => {
  try {
    for (let seed = 1; seed <= SEEDS; seed++) {
      say("seed", seed);
      await simulate(seed);
    }
    say("done");
  } catch (error) {
    say("failed", `${error}`);
  }
})();
