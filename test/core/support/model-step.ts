/** One thing that happens in a model's world; printed in a counterexample. */
export class ModelStep<World> {
  readonly #name: string;
  readonly run: (world: World) => void | Promise<void>;

  constructor(name: string, run: (world: World) => void | Promise<void>) {
    this.#name = name;
    this.run = run;
  }

  toString(): string {
    return this.#name;
  }
}
