const WIDTH = 96;

/** Returns a line of a list: a title and a few words about it. */
export function row(title: string, about: string): string {
  return `  ${title.padEnd(21)} ${about}`;
}

/** Returns a title, and a text below it. */
export function entry(title: string, about: string): string[] {
  return [`  ${title}`, ...wrapped(about, WIDTH - 6).map((line) => `      ${line}`)];
}

/** Returns a text in lines of up to `width` columns, by default 96. */
export function wrapped(text: string, width = WIDTH): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}
