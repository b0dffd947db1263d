import { expect } from 'chai'
import { importedEventId } from '../../../../src/application/tokenImport/ids.ts'

describe('the id of the event that a row becomes', () => {
  const row = {
    tokenId: '0c1f9b7e-4d2a-4e0b-9a65-7b1d3c5e8f21',
    accountId: 'acct_1',
    name: 'Old CI',
    hash: 'a'.repeat(64),
    hashKeyId: 'sha256' as const,
    hint: '…',
    scopes: [],
    createdAt: '2024-05-01T10:00:00.000Z',
    updatedAt: '2024-05-01T10:00:00.000Z',
    lastAccessed: null,
    expiresAt: null,
    oldId: '17',
  }
  const undescribed = { description: null, metadata: {}, allowedIps: null }

  it('is that of version 1.0 for a row that says no more than rows said then', () => {
    // Written down from version 1.0: where it changed, a file could not be imported again.
    expect(importedEventId({ ...row, ...undescribed })).to.equal('daefce72-0f88-5e1c-979e-02b87ce6b380')
  })

  it('is another one for each thing that a row says', () => {
    const ids = [
      undescribed,
      { ...undescribed, description: 'text' },
      { ...undescribed, metadata: { description: 'text' } },
      { ...undescribed, allowedIps: ['10.0.0.0/8'] },
    ].map((said) => importedEventId({ ...row, ...said }))
    expect(new Set(ids).size).to.equal(4)
  })
})
