import { reasonOf } from "../../src/core/errors.ts";
import type { Carrier, Contender } from "../contenders/contender.ts";
import type { Cores } from "../machine.ts";
import type { Scenario, Timing } from "../scenario.ts";
import { measureCrowd } from "./crowd.ts";
import { flowMs, measureFlow } from "./flow.ts";
import { failed, type Measurement } from "./measurement.ts";
import { measureReplay } from "./replay.ts";
import { measureStart } from "./start.ts";

/** Starts a contender and its load, measures, and ends all of it. What fails is a measurement too. */
export async function measure(
  contender: Contender,
  scenario: Scenario,
  timing: Timing,
  cores: Cores | undefined,
): Promise<Measurement> {
  let carrier: Carrier | undefined;
  try {
    const lastsMs = scenario.kind === "flow" ? flowMs(scenario, timing) : 0;
    carrier = await contender.start(cores, scenario, lastsMs);
    return await measureRunning(carrier, scenario, timing);
  } catch (cause) {
    const words = carrier?.lastWords() ?? "";
    process.stderr.write(`\n${scenario.name}: ${contender.name}: ${reasonOf(cause)}\n${words}\n`);
    return failed(briefly(reasonOf(cause)));
  } finally {
    await carrier?.stop();
  }
}

function measureRunning(
  carrier: Carrier,
  scenario: Scenario,
  timing: Timing,
): Promise<Measurement> {
  if (scenario.kind === "flow") return measureFlow(carrier, scenario, timing);
  if (scenario.kind === "crowd") return measureCrowd(carrier, scenario);
  return scenario.kind === "replay" ? measureReplay(carrier, scenario) : measureStart(carrier);
}

/** Errors of processes hold their last lines; of these, the first that says what was thrown is enough. */
function briefly(reason: string): string {
  const thrown = /Error: ([^\n]+)/.exec(reason)?.[1];
  return (thrown ?? reason.split("\n", 1)[0]!).slice(0, 100);
}
