interface Node<T> {
  readonly children: Map<string, Node<T>>;
  readonly values: Set<T>;
}

function emptyNode<T>(): Node<T> {
  return { children: new Map(), values: new Set() };
}

/**
 * Values filed under subject patterns. Finding those that match a subject costs as much as the
 * subject has tokens and patterns match, however many patterns there are.
 */
export class SubjectTrie<T> {
  readonly #root: Node<T> = emptyNode();

  add(pattern: string, value: T): void {
    let node = this.#root;
    for (const token of pattern.split(".")) {
      let child = node.children.get(token);
      if (child === undefined) {
        child = emptyNode();
        node.children.set(token, child);
      }
      node = child;
    }
    node.values.add(value);
  }

  /** Forgets a value under a pattern, and the branch that only it needed. */
  remove(pattern: string, value: T): void {
    const tokens = pattern.split(".");
    const path = [this.#root];
    for (const token of tokens) {
      const child = path.at(-1)?.children.get(token);
      if (child === undefined) return;
      path.push(child);
    }
    path.at(-1)?.values.delete(value);
    for (let depth = tokens.length; depth > 0; depth--) {
      const { children, values } = path[depth]!;
      if (children.size + values.size > 0) return;
      path[depth - 1]!.children.delete(tokens[depth - 1]!);
    }
  }

  /**
   * Visits each value once for each of its patterns that matches the subject.
   *
   * @returns how many branches and values it looked at: what it cost.
   */
  match(subject: string, visit: (value: T) => void): number {
    if (this.#root.children.size === 0) return 1;
    return matchBelow(this.#root, subject.split("."), 0, visit);
  }

  /** Visits each value once for each of its patterns that covers this one. */
  covering(pattern: string, visit: (value: T) => void): void {
    if (this.#root.children.size > 0) coverBelow(this.#root, pattern.split("."), 0, visit);
  }
}

function matchBelow<T>(
  node: Node<T>,
  tokens: readonly string[],
  depth: number,
  visit: (value: T) => void,
): number {
  const token = tokens[depth];
  if (token === undefined) {
    for (const value of node.values) visit(value);
    return 1 + node.values.size;
  }
  let steps = 1;
  const rest = node.children.get(">");
  if (rest !== undefined) {
    for (const value of rest.values) visit(value);
    steps += rest.values.size;
  }
  const any = node.children.get("*");
  if (any !== undefined) steps += matchBelow(any, tokens, depth + 1, visit);
  // A published token "*" or ">" would find the pattern's wildcard a second time.
  const exact = token === "*" || token === ">" ? undefined : node.children.get(token);
  if (exact !== undefined) steps += matchBelow(exact, tokens, depth + 1, visit);
  return steps;
}

function coverBelow<T>(
  node: Node<T>,
  tokens: readonly string[],
  depth: number,
  visit: (value: T) => void,
): void {
  const token = tokens[depth];
  if (token === undefined) {
    for (const value of node.values) visit(value);
    return;
  }
  for (const value of node.children.get(">")?.values ?? []) visit(value);
  if (token === ">") return;
  const any = node.children.get("*");
  if (any !== undefined) coverBelow(any, tokens, depth + 1, visit);
  const exact = token === "*" ? undefined : node.children.get(token);
  if (exact !== undefined) coverBelow(exact, tokens, depth + 1, visit);
}
