/** One value of Prometheus' text format, with its labels. */
export interface Sample {
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES: Readonly<Record<string, string>> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

/** Reads the samples of a text in Prometheus' format, by the name of their metric. */
export function readMetrics(text: string): ReadonlyMap<string, readonly Sample[]> {
  const samples = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    const [, name = "", labels = "", value = ""] = LINE.exec(line) ?? [];
    if (name === "") continue;
    const pairs = [...labels.matchAll(LABEL)].map(
      ([, label = "", text = ""]) =>
        [label, text.replace(/\\[\\"n]/g, (pair) => ESCAPES[pair] ?? pair)] as const,
    );
    const sample = { labels: new Map(pairs), value: Number(value) };
    const others = samples.get(name);
    if (others === undefined) samples.set(name, [sample]);
    else others.push(sample);
  }
  return samples;
}
