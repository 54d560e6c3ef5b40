/**
 * Returns a function that returns what is made of options. If the options change, it is made anew: it must keep nothing
 * that has to last.
 */
export type Derive = <T>(make: () => T) => () => T;

/** For options that never change. */
export const made: Derive = (make) => {
  const one = make();
  return () => one;
};
