import type { Cores } from "../machine.ts";
export async function writeProfiles(_cores: Cores | undefined): Promise<void> {}
