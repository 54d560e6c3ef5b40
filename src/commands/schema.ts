import { jsonSchema } from "../config/describe.ts";
import { EXIT, type Invocation } from "./command.ts";
import { readOwnFlags } from "./read-flags.ts";

/** Prints the JSON Schema of a configuration file. */
export async function printSchema({ argv, write }: Invocation): Promise<number> {
  readOwnFlags(argv, []);
  write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return EXIT.done;
}
