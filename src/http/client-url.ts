/**
 * Returns the URL (http or https) at which clients connect, seen from a page of the listener for operators.
 *
 * @param page the URL that the page was asked for at.
 */
export type ClientUrl = (page: URL) => URL;
