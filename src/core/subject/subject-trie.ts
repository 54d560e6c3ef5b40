import { SmallMap } from "../collections/small-map.ts";
import { SmallSet } from "../collections/small-set.ts";
import { isReserved } from "./subject.ts";

/**
 * A place in the trie, which stands for the tokens on the way to it. Most nodes have one child or one
 * value, and there may be hundreds of thousands: every part is made when it is needed.
 */
interface Node<T> {
  /** Children by their token, wildcards excepted. */
  literals: SmallMap<string, Node<T>> | undefined;
  /** The child for `*`. */
  any: Node<T> | undefined;
  /** The child for `>`, which has no children of its own. */
  rest: Node<T> | undefined;
  values: SmallSet<T> | undefined;
}

function emptyNode<T>(): Node<T> {
  return { literals: undefined, any: undefined, rest: undefined, values: undefined };
}

/**
 * A list of so few patterns is compared one by one. A trie is faster for any number, but takes some hundred
 * bytes for each pattern, and each subscription of each client would have its own.
 */
export const FEW_PATTERNS = 4;

/**
 * Values filed under subject patterns.
 *
 * To find the values that match a subject takes as many steps as the subject has tokens and patterns match,
 * however many patterns there are. The trie also finds the patterns that cover a pattern, and those that
 * a pattern covers.
 */
export class SubjectTrie<T> {
  readonly #root: Node<T> = emptyNode();
  #size = 0;

  /** The number of values, each counted once for each of its patterns. */
  get size(): number {
    return this.#size;
  }

  /** Files a value under a pattern; a value that is there already stays. */
  add(pattern: string, value: T): void {
    let node = this.#root;
    for (const token of pattern.split(".")) node = childOf(node, token) ?? addChild(node, token);
    node.values ??= new SmallSet();
    if (node.values.has(value)) return;
    node.values.add(value);
    this.#size++;
  }

  /** Removes a value from a pattern, and the branch that only this pattern needed. */
  remove(pattern: string, value: T): void {
    const tokens = pattern.split(".");
    const path = [this.#root];
    for (const token of tokens) {
      const child = childOf(path.at(-1)!, token);
      if (child === undefined) return;
      path.push(child);
    }
    const last = path.at(-1)!;
    if (!last.values?.delete(value)) return;
    this.#size--;
    if (last.values.size === 0) last.values = undefined;
    for (let depth = tokens.length; depth > 0 && isEmpty(path[depth]!); depth--) {
      removeChild(path[depth - 1]!, tokens[depth - 1]!);
    }
  }

  clear(): void {
    Object.assign(this.#root, emptyNode<T>());
    this.#size = 0;
  }

  /**
   * Visits each value once for each of its patterns that matches the subject.
   *
   * @returns how many nodes and values it looked at: the cost.
   */
  match(subject: string, visit: (value: T) => void): number {
    if (this.#size === 0) return 1;
    return matchBelow(this.#root, subject.split("."), 0, visit);
  }

  /**
   * Visits each value once for each of its patterns that covers this one, until `visit` returns true. A
   * wildcard counts as covering NATS' own subjects, too; where it must not carry them, `visit` has to check
   * `isReserved`.
   *
   * @param maxNodes gives up after this many nodes. Patterns with wildcards at many places can make a search
   * exponential.
   * @returns how many nodes it looked at: the cost.
   */
  covering(
    pattern: string,
    visit: (value: T) => unknown,
    maxNodes = Number.POSITIVE_INFINITY,
  ): number {
    const tokens = pattern.split(".");
    const nodes: Node<T>[] = [this.#root];
    const depths: number[] = [0];
    let count = 0;
    while (nodes.length > 0 && count < maxNodes) {
      const node = nodes.pop()!;
      const depth = depths.pop()!;
      count++;
      const token = tokens[depth];
      if (token === undefined) {
        if (visitUntilTrue(node.values, visit)) break;
        continue;
      }
      if (token !== ">") {
        const literal = token === "*" ? undefined : node.literals?.get(token);
        if (literal !== undefined) {
          nodes.push(literal);
          depths.push(depth + 1);
        }
        if (node.any !== undefined) {
          nodes.push(node.any);
          depths.push(depth + 1);
        }
      }
      if (visitUntilTrue(node.rest?.values, visit)) break;
    }
    return count;
  }

  /**
   * Walks over the values whose patterns match some subject that this pattern matches, too, node by node: yields the
   * values of each node that it looked at, and `undefined` for a node that has none of them. A wildcard counts as
   * matching NATS' own subjects (see `isReserved`).
   *
   * Patterns may be added and removed between two steps; the walk may or may not find those.
   */
  *intersecting(pattern: string): Generator<Iterable<T> | undefined, void, void> {
    const tokens = pattern.split(".");
    const nodes: Node<T>[] = [this.#root];
    // The number of tokens that lead to each node; `Infinity`: everything below is found.
    const depths: number[] = [0];
    const push = (node: Node<T> | undefined, depth: number): void => {
      if (node === undefined) return;
      nodes.push(node);
      depths.push(depth);
    };
    while (nodes.length > 0) {
      const node = nodes.pop()!;
      const depth = depths.pop()!;
      const token = tokens[depth];
      if (token === undefined) yield node.values;
      else yield undefined;
      if (depth === tokens.length) continue;
      push(node.rest, Number.POSITIVE_INFINITY);
      const isOpen = token === undefined || token === ">";
      const next = isOpen ? Number.POSITIVE_INFINITY : depth + 1;
      push(node.any, next);
      if (isOpen || token === "*")
        for (const child of node.literals?.values() ?? []) push(child, next);
      else push(node.literals?.get(token), next);
    }
  }

  /**
   * Walks over the values whose patterns this one covers, itself included, node by node: yields the values
   * of each node that it looked at, and `undefined` for a node that has none or is not covered. A wildcard
   * covers no subjects of NATS itself here (see `isReserved`).
   *
   * Patterns may be added and removed between two steps; the walk may or may not find those.
   */
  *covered(pattern: string): Generator<Iterable<T> | undefined, void, void> {
    const tokens = pattern.split(".");
    const reserved = isReserved(pattern);
    // The last token stands for one or more: from its depth on, everything below is covered.
    const openFrom = tokens.at(-1) === ">" ? tokens.length - 1 : Number.POSITIVE_INFINITY;
    const walks = [childrenFor(this.#root, tokens[0]!, !reserved)];
    while (walks.length > 0) {
      const { value: node, done } = walks.at(-1)!.next();
      if (done) {
        walks.pop();
        continue;
      }
      const depth = walks.length;
      const isCovered = depth > openFrom || depth === tokens.length;
      if (depth > openFrom) walks.push(childrenFor(node, ">", false));
      else if (depth < tokens.length) walks.push(childrenFor(node, tokens[depth]!, false));
      yield isCovered ? node.values : undefined;
    }
  }
}

function childOf<T>(node: Node<T>, token: string): Node<T> | undefined {
  if (token === "*") return node.any;
  if (token === ">") return node.rest;
  return node.literals?.get(token);
}

function addChild<T>(node: Node<T>, token: string): Node<T> {
  const child = emptyNode<T>();
  if (token === "*") node.any = child;
  else if (token === ">") node.rest = child;
  else {
    node.literals ??= new SmallMap();
    node.literals.set(token, child);
  }
  return child;
}

function removeChild<T>(node: Node<T>, token: string): void {
  if (token === "*") node.any = undefined;
  else if (token === ">") node.rest = undefined;
  else {
    node.literals?.delete(token);
    if (node.literals?.size === 0) node.literals = undefined;
  }
}

function isEmpty<T>({ literals, any, rest, values }: Node<T>): boolean {
  return (literals ?? any ?? rest ?? values) === undefined;
}

function matchBelow<T>(
  node: Node<T>,
  tokens: readonly string[],
  depth: number,
  visit: (value: T) => void,
): number {
  const { literals, any, rest, values } = node;
  const token = tokens[depth];
  if (token === undefined) {
    if (values === undefined) return 1;
    values.each(visit);
    return 1 + values.size;
  }
  let cost = 1;
  // A visit may remove the last value, and with it the node's set.
  const ofRest = rest?.values;
  if (ofRest !== undefined) {
    ofRest.each(visit);
    cost += ofRest.size;
  }
  if (any !== undefined) cost += matchBelow(any, tokens, depth + 1, visit);
  const literal = literals?.get(token);
  if (literal !== undefined) cost += matchBelow(literal, tokens, depth + 1, visit);
  return cost;
}

function visitUntilTrue<T>(values: Iterable<T> | undefined, visit: (value: T) => unknown): boolean {
  if (values === undefined) return false;
  for (const value of values) if (visit(value) === true) return true;
  return false;
}

/** The children of a node that a token of a pattern covers. */
function* childrenFor<T>(
  node: Node<T>,
  token: string,
  skipReserved: boolean,
): Generator<Node<T>, void, void> {
  if (token !== "*" && token !== ">") {
    const literal = node.literals?.get(token);
    if (literal !== undefined) yield literal;
    return;
  }
  if (node.any !== undefined) yield node.any;
  if (token === ">" && node.rest !== undefined) yield node.rest;
  for (const [name, child] of node.literals ?? []) {
    if (!skipReserved || !isReserved(name)) yield child;
  }
}
