/** The default path of the routes that manage tokens. */
export const MANAGEMENT_PATH = '/settings/api-tokens'
