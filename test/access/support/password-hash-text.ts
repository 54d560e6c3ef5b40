import { scryptSync } from "node:crypto";

/** Hashes a password as another program does: by default with the weakest parameters that are accepted. */
export function passwordHashText(
  password: string,
  [cost, blockSize, parallelization]: readonly [number, number, number] = [2 ** 14, 8, 1],
): string {
  const salt = Buffer.alloc(16, password.length);
  const options = { cost, blockSize, parallelization, maxmem: 256 * 1024 ** 2 };
  const hash = scryptSync(password.normalize("NFC"), salt, 32, options);
  const texts = [salt, hash].map((bytes) => bytes.toString("base64url"));
  return `scrypt$${[cost, blockSize, parallelization, ...texts].join("$")}`;
}
