/** Work that releases something. */
type Release = () => unknown;

/**
 * Releases one after the other, each one whether or not those before it failed.
 *
 * @throws the first error.
 */
export async function releaseInOrder(releases: readonly Release[]): Promise<void> {
  const errors: unknown[] = [];
  for (const release of releases) {
    try {
      await release();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * Releases all at the same time, and waits for each of them.
 *
 * @throws the error of the first one that failed, in the order of the list.
 */
export async function releaseTogether(releases: readonly Release[]): Promise<void> {
  const results = await Promise.allSettled(releases.map(async (release) => await release()));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
