import { accountId, id, nullableText, time } from './schemaParts.ts'

export const portalEventSchemas = {
  // The first event of a stream of the code's own: a code that has one was used, in whatever process.
  PortalSessionOpened: {
    type: 'object',
    additionalProperties: false,
    required: ['sessionId', 'accountId', 'subject', 'can', 'returnUrl', 'expiresAt'],
    properties: {
      sessionId: id,
      accountId,
      // The person.
      subject: accountId,
      can: { type: 'array', items: { enum: ['read', 'write', 'operate'] } },
      returnUrl: nullableText,
      expiresAt: time,
    },
  },
} as const
