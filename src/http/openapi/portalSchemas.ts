import { object, time } from './parts.ts'

/** Schemas of the route that opens the page for somebody. */

export const portalBody = object(
  {
    return_url: {
      type: 'string',
      maxLength: 1000,
      description: 'Where the page sends people when they are done; at or below one of `PORTAL_RETURN_URLS`.',
    },
    can: {
      type: 'array',
      items: { enum: ['read', 'write', 'operate'] },
      uniqueItems: true,
      default: ['read', 'write'],
      description:
        'What they may do. `operate`: see and revoke the tokens of all accounts, where the JWT has the scope of operators.',
    },
  },
  ['return_url', 'can'],
)

export const portalSession = object({
  url: { type: 'string', description: 'Good once. The code is in the fragment.' },
  expires_at: time,
})
