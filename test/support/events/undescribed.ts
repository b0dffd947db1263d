/** The members of a new token about which nothing was said. */
export const undescribed = { description: null, metadata: {}, allowedIps: null, rotatable: false }
