import { instanceName as instanceNameSchema } from "../config/address.ts";
import { ENTRY_KEYS } from "../config/flow-file.ts";
import { nearest } from "../config/nearest.ts";
import { unknownName } from "../config/problem.ts";
import { addressesOf, conflict } from "./addresses.ts";
import type { ComponentConfig, LifecycleComponent, Registration } from "./contract.ts";
import { failure, refusal } from "./errors.ts";

/**
 * Holds the factories of components by name, and the components by instance name. It doesn't start or stop them.
 *
 * `Deps` are the dependencies that the host gives its components.
 */
export class Registry<Deps = unknown> {
  readonly #factories = new Map<string, Registration<Deps>>();
  readonly #components = new Map<string, LifecycleComponent>();

  /** @throws SpillwayError (invalid) `"NAME_INVALID"`, or `"FACTORY_EXISTS"` if the name is taken. */
  registerFactory(name: string, registration: Registration<Deps>): void {
    const where = "Registry.registerFactory";
    checkName(where, "factory", name);
    if (this.#factories.has(name)) {
      throw refusal(where, `register ${quote(name)}`, "FACTORY_EXISTS", "it is registered already");
    }
    this.#factories.set(name, registration);
  }

  /**
   * Creates the component that an entry of a flow file describes. Opens nothing.
   *
   * @returns `undefined` if the entry is not enabled; the rest of the entry is then not checked.
   * @throws SpillwayError (invalid):
   *
   * - `"NAME_INVALID"`: the name of the instance or of the entry is invalid.
   * - `"ENTRY_INVALID"`: the entry is no object, has an unknown key, or its `enabled` is neither true nor false.
   * - `"FACTORY_UNKNOWN"`: no factory has the entry's name.
   * - `"TYPE_MISMATCH"`: the factory's components have another type.
   * - `"INSTANCE_EXISTS"`: another component has the instance's name.
   * - `"ADDRESS_TAKEN"`: another component has its port. Port 0 is never taken.
   * - the code of the error that the factory throws.
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
    // After the factory, because it may have created components itself.
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

  /** Returns a copy of all components by name. */
  components(): ReadonlyMap<string, LifecycleComponent> {
    return new Map(this.#components);
  }

  /** Returns a copy of all factories by name. */
  factories(): ReadonlyMap<string, Registration<Deps>> {
    return new Map(this.#factories);
  }

  /**
   * Removes a component, so that its name and port are free. Its owner must stop it.
   *
   * @returns whether there was a component of that name.
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
      const taken = addressesOf(other).find((held) => wanted.some((one) => conflict(one, held)));
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
