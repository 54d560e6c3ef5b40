import { TARGETS } from "../support/runtimes.ts";
import { configuration } from "./suite/configuration.ts";
import { contract } from "./suite/contract.ts";
import { http } from "./suite/http.ts";
import { lifecycle } from "./suite/lifecycle.ts";
import { streaming } from "./suite/streaming.ts";

// The same runtime as in node.test.ts; what the compiler could break shows in these.
contract(TARGETS["node-dist"], [streaming, http, lifecycle, configuration]);
