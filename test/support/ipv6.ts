import { networkInterfaces } from "node:os";

/** Whether this machine has the loopback address of IPv6; many containers don't. */
export const HAS_IPV6 = Object.values(networkInterfaces())
  .flat()
  .some((face) => face?.address === "::1");
