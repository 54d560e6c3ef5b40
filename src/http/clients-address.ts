/**
 * Returns where clients connect: a URL of http or https, seen from a page of the listener for operators.
 *
 * @param page the URL that the page was asked for at.
 */
export type ClientsAddress = (page: URL) => URL;
