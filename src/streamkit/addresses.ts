import type { LifecycleComponent, NetworkPortConfig } from "./contract.ts";

type Address = NetworkPortConfig["data"];

/** Returns the addresses of a component's network ports, except "any free port". */
export function addressesOf(component: LifecycleComponent): Address[] {
  return [...component.inputPorts(), ...component.outputPorts()].flatMap(({ config }) =>
    config.type === "network" && config.data.port !== 0 ? [config.data] : [],
  );
}

/** Returns whether two components can't listen on these addresses at the same time. */
export function conflict(one: Address, other: Address): boolean {
  if (one.port !== other.port || isUdp(one) !== isUdp(other)) return false;
  return covers(one.host, other.host) || covers(other.host, one.host);
}

/** UDP and TCP have separate ports. All other protocols run on TCP. */
function isUdp({ protocol }: Address): boolean {
  return protocol.toLowerCase() === "udp";
}

/** Returns whether listening on `host` takes the port of `other` too. */
function covers(host: string, other: string): boolean {
  if (host === "::") return true;
  if (host === "0.0.0.0") return !other.includes(":");
  return plain(host) === plain(other);
}

function plain(host: string): string {
  const name = host.toLowerCase();
  return name === "localhost" ? "127.0.0.1" : name;
}
