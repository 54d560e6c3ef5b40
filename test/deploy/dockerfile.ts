/** An instruction of a Dockerfile. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** Reads a Dockerfile: its stages, each a list of instructions that begins with `FROM`. */
export function readDockerfile(text: string): Instruction[][] {
  const lines = text
    .split("\n")
    .filter((line) => !line.startsWith("#") && line.trim() !== "")
    .join("\n")
    .replaceAll("\\\n", " ")
    .split("\n");
  const stages: Instruction[][] = [];
  let before: Instruction[] = [];
  for (const line of lines) {
    const [, name = "", text = ""] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
    if (name === "FROM") stages.push([...before.splice(0), { name, text }]);
    else (stages.at(-1) ?? before).push({ name, text: text.replace(/ +/g, " ") });
  }
  before = [];
  return stages;
}

/** The texts of all instructions of that name. */
export function textsOf(stage: readonly Instruction[], name: string): string[] {
  return stage.filter((one) => one.name === name).map(({ text }) => text);
}
