import { instanceName as instanceNameSchema } from "../config/address.ts";
import { ENTRY_KEYS } from "../config/flow.ts";
import { unknownName } from "../config/problem.ts";
import { nearest } from "../text/nearest.ts";
import { addressesOf, collide } from "./addresses.ts";
import type { ComponentConfig, LifecycleComponent, Registration } from "./contract.ts";
import { failure, refusal } from "./errors.ts";

/**
 * The kinds of component that there are, by factory name, and the components that were made, by
 * instance name. It neither starts nor stops them.
 *
 * `Deps` is what the host gives its components.
 */
export class Registry<Deps = unknown> {
  readonly #factories = new Map<string, Registration<Deps>>();
  readonly #components = new Map<string, LifecycleComponent>();

  /** @throws SpillwayError (invalid) `"NAME_INVALID"`, or `"FACTORY_EXISTS"` for a name that is taken. */
  registerFactory(name: string, registration: Registration<Deps>): void {
    const where = "Registry.registerFactory";
    checkName(where, "factory", name);
    if (this.#factories.has(name)) {
      throw refusal(where, `register ${quote(name)}`, "FACTORY_EXISTS", "it is registered already");
    }
    this.#factories.set(name, registration);
  }

  /**
   * Makes the component that an entry of a flow file describes; nothing is opened.
   *
   * @returns `undefined` when the entry is not enabled: then nothing else in it is looked at.
   * @throws SpillwayError (invalid):
   *
   * - `"NAME_INVALID"`: the instance's name, or the entry's;
   * - `"ENTRY_INVALID"`: the entry is no object, has an unknown key, or its `enabled` is neither true
   *   nor false;
   * - `"FACTORY_UNKNOWN"`: no factory has the entry's name;
   * - `"TYPE_MISMATCH"`: what that factory makes is of another type;
   * - `"INSTANCE_EXISTS"`: the instance's name is taken;
   * - `"ADDRESS_TAKEN"`: another component has its port; port 0 is nobody's;
   * - what the factory throws, under its own code.
   */
  createComponent(
    instanceName: string,
    entry: ComponentConfig,
    deps: Deps,
  ): LifecycleComponent | undefined {
    const where = "Registry.createComponent";
    const action = `create ${quote(instanceName)}`;
    checkName(where, "instance", instanceName);
    if (!isEnabled(where, action, entry)) return undefined;
    const unknown = Object.keys(entry).find((key) => !ENTRY_KEYS.includes(key));
    if (unknown !== undefined) {
      const reason = unknownName("key", unknown, nearest(unknown, ENTRY_KEYS));
      throw refusal(where, action, "ENTRY_INVALID", reason);
    }
    const registration = this.#find(where, entry);
    let component: LifecycleComponent;
    try {
      component = registration.factory(entry.config, deps, instanceName);
    } catch (cause) {
      throw failure(where, action, cause, "FACTORY_FAILED");
    }
    // After the factory, as it may have made components itself.
    if (this.#components.has(instanceName)) {
      throw refusal(where, action, "INSTANCE_EXISTS", "there is one of that name already");
    }
    this.#checkAddresses(where, action, component);
    this.#components.set(instanceName, component);
    return component;
  }

  component(instanceName: string): LifecycleComponent | undefined {
    return this.#components.get(instanceName);
  }

  /** All components by their names, as of now. */
  components(): ReadonlyMap<string, LifecycleComponent> {
    return new Map(this.#components);
  }

  /** All factories by their names, as of now. */
  factories(): ReadonlyMap<string, Registration<Deps>> {
    return new Map(this.#factories);
  }

  /**
   * Forgets a component, so that its name and port are free; stopping it is up to its owner.
   *
   * @returns whether there was one of that name.
   */
  remove(instanceName: string): boolean {
    return this.#components.delete(instanceName);
  }

  #find(where: string, { name, type }: ComponentConfig): Registration<Deps> {
    checkName(where, "factory", name);
    const found = this.#factories.get(name);
    if (found === undefined) {
      const names = [...this.#factories.keys()];
      const near = nearest(name, names);
      const known = names.length === 0 ? "none is" : `${names.map(quote).join(", ")} are`;
      const hint = near === undefined ? known : `did you mean ${quote(near)}?`;
      const reason = `it is not registered; ${hint}`;
      throw refusal(where, `find factory ${quote(name)}`, "FACTORY_UNKNOWN", reason);
    }
    if (found.type !== type) {
      const reason = `it is ${quote(type)} but ${quote(name)} makes ${quote(found.type)}`;
      throw refusal(where, "check type", "TYPE_MISMATCH", reason);
    }
    return found;
  }

  #checkAddresses(where: string, action: string, component: LifecycleComponent): void {
    const wanted = addressesOf(component);
    for (const [holder, other] of this.#components) {
      const taken = addressesOf(other).find((held) => wanted.some((one) => collide(one, held)));
      if (taken === undefined) continue;
      const reason = `${taken.host}:${taken.port} belongs to ${quote(holder)}`;
      throw refusal(where, action, "ADDRESS_TAKEN", reason);
    }
  }
}

function checkName(where: string, kind: "factory" | "instance", name: string): void {
  const fault = instanceNameSchema().safeParse(name).error?.issues[0]?.message;
  if (fault === undefined) return;
  throw refusal(where, `check ${kind} name`, "NAME_INVALID", `it is ${quote(name)} but ${fault}`);
}

function isEnabled(where: string, action: string, entry: ComponentConfig): boolean {
  if (typeof entry !== "object" || entry === null) {
    throw refusal(where, action, "ENTRY_INVALID", "the entry must be an object");
  }
  const { enabled = false } = entry;
  if (typeof enabled !== "boolean") {
    const reason = `"enabled" is ${quote(enabled)} but must be true or false`;
    throw refusal(where, action, "ENTRY_INVALID", reason);
  }
  return enabled;
}

function quote(text: unknown): string {
  return JSON.stringify(text) ?? "missing";
}
