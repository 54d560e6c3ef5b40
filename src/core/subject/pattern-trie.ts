import { isReserved } from "./subject.ts";

interface Node<T> {
  children: Map<string, Node<T>> | undefined;
  value: T | undefined;
}

/**
 * Values filed under patterns, one under each. Finds the patterns that cover another one, and those that
 * it covers, without a look at all others. Covering is meant as in `carriesAll`: no wildcard stands for
 * subjects of NATS itself.
 */
export class PatternTrie<T> {
  readonly #root: Node<T> = { children: undefined, value: undefined };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  set(pattern: string, value: T): void {
    let node = this.#root;
    for (const token of pattern.split(".")) {
      node.children ??= new Map();
      let child = node.children.get(token);
      if (child === undefined) {
        child = { children: undefined, value: undefined };
        node.children.set(token, child);
      }
      node = child;
    }
    if (node.value === undefined) this.#size++;
    node.value = value;
  }

  /** Forgets a pattern, and the branch that only it needed. */
  delete(pattern: string): void {
    const tokens = pattern.split(".");
    const path = [this.#root];
    for (const token of tokens) {
      const child = path.at(-1)?.children?.get(token);
      if (child === undefined) return;
      path.push(child);
    }
    const last = path.at(-1) as Node<T>;
    if (last.value === undefined) return;
    last.value = undefined;
    this.#size--;
    for (let depth = tokens.length; depth > 0; depth--) {
      const { children, value } = path[depth] as Node<T>;
      if (value !== undefined || (children?.size ?? 0) > 0) return;
      path[depth - 1]?.children?.delete(tokens[depth - 1] as string);
    }
  }

  clear(): void {
    this.#root.children = undefined;
    this.#size = 0;
  }

  /**
   * Visits the values whose patterns cover this one, the same pattern among them, until one is accepted.
   *
   * @param maxSteps looks at no more branches: very many patterns may have the same beginning.
   * @returns how many branches it looked at.
   */
  covering(
    pattern: string,
    accept: (value: T) => boolean,
    maxSteps = Number.POSITIVE_INFINITY,
  ): number {
    const tokens = pattern.split(".");
    const reserved = isReserved(pattern);
    const nodes: Node<T>[] = [this.#root];
    const depths: number[] = [0];
    let steps = 0;
    while (nodes.length > 0 && steps < maxSteps) {
      const { children, value } = nodes.pop() as Node<T>;
      const depth = depths.pop() as number;
      steps++;
      const token = tokens[depth];
      if (token === undefined) {
        if (value !== undefined && accept(value)) break;
        continue;
      }
      if (children === undefined) continue;
      const exact = token === ">" || token === "*" ? undefined : children.get(token);
      if (exact !== undefined) {
        nodes.push(exact);
        depths.push(depth + 1);
      }
      if (depth === 0 && reserved) continue;
      const any = token === ">" ? undefined : children.get("*");
      if (any !== undefined) {
        nodes.push(any);
        depths.push(depth + 1);
      }
      const rest = children.get(">")?.value;
      if (rest !== undefined && accept(rest)) break;
    }
    return steps;
  }

  /**
   * The values whose patterns this one covers, itself among them. Each step is one branch that was looked
   * at; it yields the branch's value, if there is one and it is covered. Patterns may come and go between
   * two steps; whether those are found is not said.
   */
  *covered(pattern: string): Generator<T | undefined, void, void> {
    const tokens = pattern.split(".");
    const reserved = isReserved(pattern);
    const first = this.#root.children;
    if (first === undefined) return;
    // Each entry is what is left of one node's children, and how many tokens were read to get there.
    const ways: { nodes: Iterator<Node<T>>; depth: number }[] = [];
    const enter = ({ children }: Node<T>, depth: number): void => {
      if (children !== undefined)
        ways.push({ nodes: nextOf(children, tokens, depth, reserved), depth });
    };
    enter(this.#root, 0);
    for (let way = ways.at(-1); way !== undefined; way = ways.at(-1)) {
      const { value: node, done } = way.nodes.next();
      if (done) {
        ways.pop();
        continue;
      }
      const rest = tokens.at(-1) === ">" && way.depth >= tokens.length - 1;
      const isCovered = rest || way.depth === tokens.length - 1;
      if (rest || !isCovered) enter(node, way.depth + 1);
      yield isCovered ? node.value : undefined;
    }
  }
}

/** The children of a node that can lead to what is covered by these tokens. */
function* nextOf<T>(
  children: Map<string, Node<T>>,
  tokens: readonly string[],
  depth: number,
  reserved: boolean,
): Generator<Node<T>, void, void> {
  const token = depth >= tokens.length - 1 && tokens.at(-1) === ">" ? ">" : tokens[depth];
  if (token === undefined) return;
  if (token !== ">" && token !== "*") {
    const child = children.get(token);
    if (child !== undefined) yield child;
    return;
  }
  for (const [name, child] of children) {
    if (token === "*" && name === ">") continue;
    if (depth === 0 && !reserved && isReserved(name)) continue;
    yield child;
  }
}
