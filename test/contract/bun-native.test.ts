import { TARGETS } from "../support/runtimes.ts";
import { contract, WITH_SOCKETS } from "./suite/contract.ts";

// The same runtime as in bun.test.ts, with sockets of its own.
contract(TARGETS["bun-native"], WITH_SOCKETS);
