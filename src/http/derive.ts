/**
 * Returns a function that returns what is made of options. If the options change, it is made anew.
 *
 * @param make gets what was made before, of which it keeps what has to last.
 */
export type Derive = <T>(make: (before?: T) => T) => () => T;

/** For options that never change. */
export const made: Derive = (make) => {
  const one = make();
  return () => one;
};
