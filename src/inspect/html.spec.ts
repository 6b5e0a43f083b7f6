import fc from 'fast-check';
import { escapeHtml, html } from './html';

describe('a template', () => {
  it('escapes texts, but not markup', () => {
    const inner = html`<b>${'<i>"&\''}</b>`;
    expect(html`<p>${inner} ${1} ${false}${undefined}</p>`.text).toBe('<p><b>&lt;i&gt;&quot;&amp;&#39;</b> 1 </p>');
  });

  it('joins lists', () => {
    expect(html`<ul>${['a', '<'].map((each) => html`<li>${each}</li>`)}</ul>`.text).toBe(
      '<ul><li>a</li><li>&lt;</li></ul>',
    );
  });

  it('spells out characters that hide or reorder text', () => {
    expect(escapeHtml('a\u202Eb\0\u200Bc')).toBe('a\\u{202e}b\\u{0}\\u{200b}c');
  });

  it('lets no text end a quoted attribute or open a tag', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(html`${text}`.text).not.toMatch(/[<>"']/);
      }),
    );
  });
});
