import { TARGETS } from "../support/runtimes.ts";
import { contract, WITH_SOCKETS } from "./suite/contract.ts";

// The same runtime as in deno.test.ts, with sockets of its own.
contract(TARGETS["deno-native"], WITH_SOCKETS);
