import type { RuntimeName } from "../contenders/contender.ts";
import { percent, table } from "../report/table.ts";
import type { Flow } from "../scenario.ts";
import { type Owner, type SelfTime, sharesByFile, sharesByOwner } from "./cpu-profile.ts";

const TITLES: Readonly<Record<RuntimeName, string>> = { bun: "Bun", node: "Node", deno: "Deno" };
const OWNERS: Readonly<Record<Owner, string>> = {
  ours: "ours (src/)",
  library: "packages",
  runtime: "the runtime and the kernel",
};
const MOST_FUNCTIONS = 10;
const MOST_FILES = 6;

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
    parts.push(
      `## ${TITLES[runtime]}`,
      `${split.join(", ")}.`,
      functionTable(times.slice(0, MOST_FUNCTIONS)),
      fileTable(times),
    );
  }
  return `${parts.join("\n\n")}\n`;
}

function functionTable(times: readonly SelfTime[]): string {
  return table(
    ["function", "whose", "time"],
    times.map(({ name, owner, share }) => [`\`${name}\``, owner, tenths(share)]),
  );
}

function fileTable(times: readonly SelfTime[]): string {
  return table(
    ["our files", "time"],
    sharesByFile(times)
      .slice(0, MOST_FILES)
      .map(([file, share]) => [`\`${file}\``, tenths(share)]),
  );
}

function tenths(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
