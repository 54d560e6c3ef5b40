import type { Config } from "../config/config.ts";

/**
 * The configuration of a gateway that runs, and what is made of it. A reload replaces the values in place, so that who holds
 * an object reads the new ones.
 */
export class LiveConfig {
  /** That of this process. Its values change with each reload. */
  readonly config: Config;
  readonly #share: (whole: Config) => Config;
  readonly #renewals: (() => void)[] = [];
  #whole: Config;

  /** @param share returns the configuration of this process, which may be one of several. Default: it is the only one. */
  constructor(whole: Config, share: (whole: Config) => Config = (config) => config) {
    this.#whole = whole;
    this.#share = share;
    this.config = { ...share(whole) };
  }

  /** The configuration of all processes together: what was given. */
  get whole(): Config {
    return this.#whole;
  }

  /** Returns an object that is made of the configuration. Its values change with each reload. */
  view<T extends object>(make: (config: Config) => T): T {
    const view = make(this.config);
    this.#renewals.push(() => void Object.assign(view, make(this.config)));
    return view;
  }

  /**
   * Returns a function that returns what is made of the configuration, anew after each reload.
   *
   * @param make gets what was made before, too.
   */
  derive<T>(make: (config: Config, before?: T) => T): () => T {
    let made = make(this.config);
    this.#renewals.push(() => {
      made = make(this.config, made);
    });
    return () => made;
  }

  /** Replaces all values. @param whole the configuration of all processes together. */
  replace(whole: Config): void {
    this.#whole = whole;
    // A key that is not set any more must not keep its value.
    for (const key of Object.keys(this.config)) Reflect.set(this.config, key, undefined);
    Object.assign(this.config, this.#share(whole));
    for (const renew of this.#renewals) renew();
  }
}
