import type { RuntimeName } from "../contenders/contender.ts";
import { percent, table } from "../report/table.ts";
import type { Flow } from "../scenario.ts";
import { type Owner, type SelfTime, sharesByOwner } from "./cpu-profile.ts";

const TITLES: Readonly<Record<RuntimeName, string>> = { bun: "Bun", node: "Node", deno: "Deno" };
const OWNERS: Readonly<Record<Owner, string>> = {
  ours: "ours (src/)",
  library: "packages",
  runtime: "the runtime and the kernel",
};
const MOST_FUNCTIONS = 12;
const MOST_OURS = 6;

/** The whole of `PROFILES.md`. */
export function profilesPage(
  scenario: Flow,
  profiles: ReadonlyMap<RuntimeName, readonly SelfTime[]>,
): string {
  const parts = [
    "# Profiles",
    `Written by \`npm run bench -- --profile\`: where the time goes in "${scenario.name}". The profiles themselves are then in \`bench/profiles/\` and open in Chrome's DevTools and in speedscope. Time is what was spent in a function itself; what was inlined counts for its caller.`,
  ];
  for (const [runtime, times] of profiles) {
    const shares = sharesByOwner(times);
    const split = Object.entries(OWNERS).map(
      ([owner, title]) => `${title} ${percent(shares[owner as Owner])}`,
    );
    const top = times.slice(0, MOST_FUNCTIONS);
    const ours = times.filter((time) => time.owner === "ours" && !top.includes(time));
    const left = MOST_OURS - top.filter(({ owner }) => owner === "ours").length;
    parts.push(
      `## ${TITLES[runtime]}`,
      `${split.join(", ")}.`,
      functionTable([...top, ...ours.slice(0, Math.max(0, left))]),
    );
  }
  return `${parts.join("\n\n")}\n`;
}

function functionTable(times: readonly SelfTime[]): string {
  return table(
    ["function", "whose", "time"],
    times.map(({ name, owner, share }) => [`\`${name}\``, owner, `${(share * 100).toFixed(1)} %`]),
  );
}
