import type { TokenIndex } from '../application/authentication/tokenIndex.ts'
import type { Manage } from '../application/tokens/manage.ts'

/**
 * Commands that announce each new token to the index, so that its first use does not wait among those of unknown
 * tokens.
 */
export const expecting = ({ expect }: TokenIndex, { create, ...others }: Manage): Manage => ({
  ...others,
  async create(...input) {
    const created = await create(...input)
    if (created.secret !== null) expect(created.secret)
    return created
  },
})
