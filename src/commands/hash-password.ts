import { hashPassword, MAX_PASSWORD_LENGTH } from "../access/password-hash.ts";
import { EXIT, type Invocation } from "./command.ts";
import { invalidCommand, readOwnFlags } from "./read-flags.ts";

/** Hashes the first line of the standard input: an argument would be seen by all users of the machine. */
export async function printPasswordHash({ argv, readInput, write }: Invocation): Promise<number> {
  readOwnFlags(argv, []);
  const password = await readInput("Password (it is shown): ", "line");
  if (password === "" || password.length > MAX_PASSWORD_LENGTH) {
    throw invalidCommand(
      `Cannot hash the password on the standard input: it must have 1 to ${MAX_PASSWORD_LENGTH} characters`,
    );
  }
  write(`${await hashPassword(password)}\n`);
  return EXIT.done;
}
