/** A browser's own `EventSource`, whose subject has ended, and whose gateway is then started again. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { describeInBrowser, eventually } from "../support/browser.ts";
import { startGateway } from "../support/gateway-process.ts";
import { TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

await describeInBrowser("An EventSource", (open) => {
  test.each(["bun", "deno", "node"] as const)(
    "stops for good on %s once its subject has ended, and connects again otherwise",
    async (name) => {
      const config = { subjects: ["jobs.>"] };
      const first = await startGateway(TARGETS[name], { config });
      const { page } = await open(first.url);
      await page.evaluate(async () => {
        const opens = { ended: 0, going: 0 };
        const listen = async (key: "ended" | "going"): Promise<EventSource> => {
          const source = new EventSource(`/ws/sse?subjects=jobs.${key}`);
          source.onopen = () => opens[key]++;
          await new Promise((resolve) => source.addEventListener("subscribed", resolve));
          return source;
        };
        const [ended, going] = [await listen("ended"), await listen("going")];
        Object.assign(globalThis, {
          statesOf: () => [ended, going].map(({ readyState }) => readyState),
          opens,
        });
        const ending = new Promise((resolve) => ended.addEventListener("end", resolve));
        const message = new Promise((resolve) => going.addEventListener("message", resolve));
        for (const query of ["ended?end=true", "going"]) {
          await fetch(`/publish/jobs.${query}`, { method: "POST", body: "1" });
        }
        await Promise.all([ending, message]);
      });
      expect(await first.stop()).toEqual({ code: 0, signal: null });
      const again = await startGateway(TARGETS[name], {
        config,
        args: ["--port", `${first.port}`],
      });
      const statesOf = () => page.evaluate("statesOf()") as Promise<number[]>;
      const opens = () => page.evaluate("opens") as Promise<{ ended: number; going: number }>;
      await eventually(statesOf, ([ended, going]) => ended === 2 && going === 1, "one of each");
      expect(await opens()).toEqual({ ended: 1, going: 2 });
      await page.close();
      expect(await again.stop()).toEqual({ code: 0, signal: null });
    },
  );
});
