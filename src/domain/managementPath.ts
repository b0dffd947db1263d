/** Where tokens are managed. */
export const MANAGEMENT_PATH = '/settings/api-tokens'
