#include "base/html.h"

void buf_add_html(struct buf *b, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '<':
			buf_add(b, STR("&lt;"));
			break;
		case '>':
			buf_add(b, STR("&gt;"));
			break;
		case '&':
			buf_add(b, STR("&amp;"));
			break;
		case '"':
			buf_add(b, STR("&quot;"));
			break;
		case '\n':
			buf_addc(b, '\n');
			break;
		default:
			buf_addc(b, (uint8_t)s.p[i] < ' ' ? '?' : s.p[i]);
		}
	}
}
