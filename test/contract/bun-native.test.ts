import { TARGETS } from "../support/runtimes.ts";
import { contract } from "./suite/contract.ts";

contract(TARGETS["bun-native"]);
