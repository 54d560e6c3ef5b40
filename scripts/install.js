// `node scripts/install.js <folder>…`: installs the packages of these folders, such as `test` and `bench`.
import process from "node:process";
import { installPackages } from "./packages.js";

for (const folder of process.argv.slice(2)) installPackages(folder);
