// The gateway as a Cloudflare Worker: see README.md.
import { createWorker, SpillwayObject } from "spillway/cloudflare";

export { SpillwayObject };
export default createWorker();
