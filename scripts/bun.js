// `node scripts/bun.js <arguments>`: runs Bun in the version that tests run on, after it installed what they need.
import process from "node:process";
import { ensureBun, installPackages, runInstead } from "./packages.js";

installPackages("test");
runInstead(ensureBun(), process.argv.slice(2));
