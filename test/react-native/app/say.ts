declare const print: (line: string) => void;

/** Writes a fact as a line. */
export function say(...fact: readonly unknown[]): void {
  print(JSON.stringify(fact));
}
