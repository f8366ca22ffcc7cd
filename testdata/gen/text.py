"""Everything protobuf's TextFormat allows, and what it does not: testdata/text/.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3.
Run:   python3.8 text.py [OUT_FOLDER]        (default: ../text next to this script)

Writes NAME.prototxt, and NAME.bin with the binary message that real Caffe's C++ parser (ReadProtoFromTextFile, no upgrade)
makes of it. index.json says for each NAME what both parsers made of it:
    {"message": "NetParameter", "cpp": "ok" or its message, "python": "ok", "ok, but different: HEX" or its message}
where python is protobuf 3.20.3's text_format.Parse. `cpp` is what counts for Caffe.
"""
import json
import os
import shutil
import sys

from google.protobuf import text_format

import real_caffe
from real_caffe import PROTO

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "text"))

R = 'layer { name: "a" type: "X" %s }\n'


def layer(body):
    return R % body


def power(value):
    return layer("power_param { shift: %s }" % value)


def convolution(body):
    return layer("convolution_param { %s }" % body)


# name -> text (str or bytes); all of message NetParameter
CASES = {
    # white space, comments, separators
    "empty": "",
    "only_comment": "# nothing here\n   # and here, without a line end",
    "comments": '# head\nname: "x" # after a value\nlayer { # after a brace\n # between\n name: "a"#close\n type: # between name and value\n "ReLU" }#end',
    "comment_in_string": 'name: "not # a comment"\n',
    "one_line": 'name:"x"layer{name:"a"type:"ReLU"bottom:"b"top:"c"relu_param{negative_slope:0.5}}',
    "white_space": 'name\t:\n\n"x"\r\nlayer\v{\fname\t:\t"a"\r}',
    "crlf": 'name: "x"\r\nlayer {\r\n  name: "a"\r\n  type: "ReLU"\r\n}\r\n',
    "byte_order_mark": b'\xef\xbb\xbfname: "x"\n',
    "nul_byte": b'name: "x"\x00',
    "comma_separators": 'name: "x", layer { name: "a", type: "T", top: "b", top: "c", },',
    "semicolon_separators": 'name: "x"; layer { name: "a"; type: "T"; top: "b"; top: "c"; };',
    "double_comma": 'name: "x",, force_backward: true',
    "comma_semicolon": 'name: "x",; force_backward: true',
    "leading_comma": ', name: "x"',
    "only_semicolon": ";",
    "separator_inside_message_start": 'layer { , name: "a" }',
    # braces and colons
    "angle_brackets": 'layer < name: "a" type: "T" convolution_param < num_output: 3 kernel_size: 2 > >',
    "mixed_brackets": 'layer < name: "a" convolution_param { num_output: 3 } >',
    "mismatched_brackets": 'layer < name: "a" }',
    "colon_before_brace": 'layer: { name: "a" convolution_param: < num_output: 3 > }',
    "no_colon_before_scalar": 'name "x"',
    "unclosed": 'layer { name: "a"',
    "unopened": 'name: "x" }',
    "square_brackets_as_braces": 'layer [ name: "a" ]',
    "nested_empty": "layer { } layer {} layer<> layer: {} layer { convolution_param { } }",
    # lists
    "list_scalar": "input_dim: [1, 3, 8, 8]",
    "list_empty": "input_dim: []",
    "list_one": "input_dim: [7]",
    "list_trailing_comma": "input_dim: [1, 2,]",
    "list_semicolon": "input_dim: [1; 2]",
    "list_strings": "layer { bottom: ['a', \"b\" 'c'] top: [ \"d\" ] }",
    "list_enum": "layer { param { share_mode: STRICT } loss_param { normalization: [FULL] } }",
    "list_floats": layer("loss_weight: [1, -2.5, 1e-3, .5f, inf, -inf, nan]"),
    "list_messages": 'layer: [ { name: "a" }, < name: "b" >, { } ]',
    "list_messages_no_colon": 'layer [ { name: "a" }, { name: "b" } ]',
    "list_twice": "input_dim: [1, 2] input_dim: 3 input_dim: [4]",
    "list_nested": "input_dim: [[1, 2]]",
    "list_on_single_field": 'name: ["x"]',
    "list_unclosed": "input_dim: [1, 2",
    "list_enum_numbers": "layer { include { phase: 1 } exclude { phase: [0] } }",
    "list_empty_messages": "layer: []",
    # strings
    "string_single_quotes": "name: 'x \"quoted\" y'",
    "string_double_quotes": "name: \"it's\"",
    "string_adjacent": "name: \"ab\" 'cd' \"ef\"",
    "string_adjacent_lines": 'name: "ab"\n  # a comment between\n  "cd"\n',
    "string_adjacent_no_space": "name: \"ab\"'cd'\"ef\"",
    "string_escapes_simple": r'name: "\a\b\f\n\r\t\v\\\?\'\""',
    "string_escapes_octal": r'name: "\0\1\12\101\377\1234"',
    "string_escapes_octal_overflow": r'name: "\777"',
    "string_escapes_hex": r'name: "\x41\x4a\xfF\x4\X41"',
    "string_escapes_hex_lower": r'name: "\x41\x4a\xfF\x4"',
    "string_escapes_hex_long": r'name: "\x0041"',
    "string_escapes_hex_empty": r'name: "\xzz"',
    "string_escapes_unicode": r'name: "\u00e9\U0001F600"',
    "string_escapes_unicode_short": r'name: "\u00e"',
    "string_escapes_unicode_surrogates": r'name: "\ud83d\ude00"',
    "string_escapes_unicode_too_large": r'name: "\U00110000"',
    "string_escapes_unknown": r'name: "\q"',
    "string_escape_newline": 'name: "a\\\nb"',
    "string_utf8": 'name: "Größe 名前"',
    "string_latin1_bytes": b'name: "Gr\xf6\xdfe"',
    "string_line_break": 'name: "a\nb"',
    "string_unterminated": 'name: "abc',
    "string_mismatched": "name: \"abc'",
    "string_unquoted": "name: abc",
    "string_number": "name: 12",
    "string_tab": 'name: "a\tb"',
    "string_empty": 'name: ""',
    "string_nul": r'name: "a\0b"',
    # integers
    "int_decimal": "input_dim: 0 input_dim: 1 input_dim: 2147483647 input_dim: -2147483648 input_dim: -0",
    "int_hex": "input_dim: 0x10 input_dim: 0XfF input_dim: -0x80000000 input_dim: 0x7fffffff",
    "int_octal": "input_dim: 010 input_dim: 0777 input_dim: -017 input_dim: 00",
    "int_octal_bad_digit": "input_dim: 08",
    "int_hex_empty": "input_dim: 0x",
    "int_overflow": "input_dim: 2147483648",
    "int_underflow": "input_dim: -2147483649",
    "int_plus": "input_dim: +1",
    "int_minus_space": "input_dim: - 5",
    "int_minus_comment": "input_dim: - # why not\n 5",
    "int_double_minus": "input_dim: --5",
    "int_float": "input_dim: 1.0",
    "int_exponent": "input_dim: 1e2",
    "int_suffix_letter": "input_dim: 1u",
    "int_bool": "input_dim: true",
    "int_quoted": 'input_dim: "1"',
    "int_int64": "input_shape { dim: 9223372036854775807 dim: -9223372036854775808 dim: 0x7fffffffffffffff }",
    "int_int64_overflow": "input_shape { dim: 9223372036854775808 }",
    "int_uint32": convolution("num_output: 4294967295 pad: 0xffffffff"),
    "int_uint32_overflow": convolution("num_output: 4294967296"),
    "int_uint32_negative": convolution("num_output: -1"),
    "int_uint32_negative_zero": convolution("num_output: -0"),
    "int_no_space_after": 'input_dim: 1input_dim: 2',
    # floats
    "float_forms": layer("loss_weight: 1 loss_weight: 1.5 loss_weight: .5 loss_weight: 5. loss_weight: 1e3 loss_weight: 1E-3 loss_weight: 1.e+2 loss_weight: -0.0 loss_weight: 0"),
    "float_suffix": layer("loss_weight: 1f loss_weight: 1.5F loss_weight: 2.f loss_weight: 1e2f loss_weight: .25f"),
    "float_suffix_twice": power("1ff"),
    "float_suffix_d": power("1d"),
    "float_hex": power("0x10"),
    "float_hex_float": power("0x1.8p3"),
    "float_octal": power("010"),
    "float_octal_fraction": power("010.5"),
    "float_inf": layer("loss_weight: inf loss_weight: -inf loss_weight: Inf loss_weight: INF loss_weight: infinity loss_weight: -Infinity"),
    "float_nan": layer("loss_weight: nan loss_weight: NaN loss_weight: NAN"),
    "float_minus_nan": power("-nan"),
    "float_inf_suffix": power("inff"),
    "float_overflow": layer("loss_weight: 1e39 loss_weight: -1e39 loss_weight: 1e400"),
    "float_underflow": layer("loss_weight: 1e-46 loss_weight: 1e-45 loss_weight: 1.17549435e-38 loss_weight: 1e-400"),
    "float_largest": layer("loss_weight: 3.40282347e+38 loss_weight: 3.4028235677973366e+38 loss_weight: 3.4028236e38"),
    "float_rounding": layer("loss_weight: 0.1 loss_weight: 16777217 loss_weight: 1.00000005960464477539 loss_weight: 1.00000005960464477540 loss_weight: 0.30000001192092896"),
    "float_big_integer": power("123456789012345678901234567890"),
    "float_uint64_max": power("18446744073709551615"),
    "float_negative_big": power("-18446744073709551616"),
    "float_plus": power("+1.5"),
    "float_minus_space": power("- 1.5"),
    "float_two_dots": power("1.2.3"),
    "float_lone_dot": power("."),
    "float_empty_exponent": power("1e"),
    "float_underscore": power("1_000"),
    "float_bool": power("true"),
    "float_quoted": power('"1.5"'),
    "float_comma": layer("power_param { shift: 1,5 }"),
    # booleans
    "bool_true": "".join("layer { propagate_down: %s }\n" % v for v in ("true", "True", "t", "1", "0x1", "01")),
    "bool_false": "".join("layer { propagate_down: %s }\n" % v for v in ("false", "False", "f", "0", "0x0", "00")),
    "bool_list": "layer { propagate_down: [true, false, 1, 0, t, f, True, False] }",
    "bool_upper": "force_backward: TRUE",
    "bool_yes": "force_backward: yes",
    "bool_two": "force_backward: 2",
    "bool_minus": "force_backward: -1",
    "bool_quoted": 'force_backward: "true"',
    "bool_float": "force_backward: 1.0",
    # enums
    "enum_name": layer("pooling_param { pool: STOCHASTIC engine: CAFFE }") + layer("include { phase: TEST }"),
    "enum_number": layer("pooling_param { pool: 2 engine: 1 }") + layer("include { phase: 1 }"),
    "enum_hex": layer("pooling_param { pool: 0x1 }"),
    "enum_octal": layer("pooling_param { pool: 01 }"),
    "enum_v1_number": 'layers { name: "a" type: 4 } layers { name: "b" type: RELU }',
    "enum_unknown_name": layer("pooling_param { pool: MEDIAN }"),
    "enum_unknown_number": layer("pooling_param { pool: 17 }"),
    "enum_negative_number": layer("pooling_param { pool: -1 }"),
    "enum_lower_case": layer("pooling_param { pool: max }"),
    "enum_quoted": layer('pooling_param { pool: "MAX" }'),
    "enum_float": layer("pooling_param { pool: 1.0 }"),
    # fields
    "field_unknown": "no_such_field: 1",
    "field_unknown_nested": layer("convolution_param { num_outputs: 3 }"),
    "field_unknown_message": "no_such_message { a: 1 }",
    "field_of_fork": layer("pooling_param { ceil_mode: false }"),
    "field_by_number": "1: \"x\"",
    "field_upper_case": 'Name: "x"',
    "field_group_case": 'Layer { name: "a" }',
    "field_twice": 'name: "x" name: "y"',
    "field_twice_nested": convolution("num_output: 1 num_output: 2"),
    "message_twice": layer("convolution_param { num_output: 1 } convolution_param { kernel_size: 3 }"),
    "message_twice_top": 'state { phase: TRAIN } state { phase: TEST }',
    "repeated_interleaved": 'layer { name: "a" } input: "x" layer { name: "b" } input: "y"',
    "field_order": 'layer { top: "t" type: "T" bottom: "b" name: "n" } name: "x"',
    "missing_value": "name:",
    "missing_value_then_field": 'name: force_backward: true',
    "value_is_message": "name { }",
    "message_is_value": "layer: 3",
    "extension_brackets": '[caffe.foo]: 1',
    "any_brackets": '[type.googleapis.com/caffe.X] { }',
    "dotted_name": 'layer.name: "x"',
    "dash_in_name": 'force-backward: true',
    "field_space_in_name": 'force backward: true',
    "space_before_colon": 'name : "x"',
    # blobs as text
    "blob_text": 'layer { name: "ip" blobs { shape { dim: [2, 3] } data: [1, -2, 3.5, 4e-3, 5, 0.1] diff: 1 double_data: [1, 0.1] } blobs { num: 1 channels: 1 height: 1 width: 2 data: 1 data: 2 } }',
    # depth
    "deep_99": None,
    # the reader's other real shapes
    "lenet_like": '''name: "LeNet"
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 stride: 1 weight_filler { type: "xavier" } bias_filler { type: "constant" } }
}
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
''',
}
del CASES["deep_99"]  # NetParameter cannot nest itself; depth is the binary reader's matter


def main():
    if os.path.isdir(OUT):
        shutil.rmtree(OUT)
    os.makedirs(OUT)
    os.chdir(OUT)
    index = {}
    for name, text in CASES.items():
        data = text if isinstance(text, bytes) else text.encode("utf-8")
        with open(name + ".prototxt", "wb") as stream:
            stream.write(data)
        ok, binary, log = real_caffe.parse_text(name + ".prototxt")
        if ok:
            with open(name + ".bin", "wb") as stream:
                stream.write(binary)
        message = PROTO.NetParameter()
        try:
            text_format.Parse(data, message)
            python = "ok"
            # Unset by the parser but equal after a round trip: compare what the bytes mean, not the bytes.
            if ok:
                again = PROTO.NetParameter.FromString(binary)
                if again.SerializeToString(deterministic=True) != message.SerializeToString(deterministic=True):
                    python = "ok, but different: " + message.SerializeToString(deterministic=True).hex()
        except Exception as error:  # any refusal is the golden
            python = "%s: %s" % (type(error).__name__, error)
        cpp = "ok" if ok else log.replace("\nthe reader returned false", "").replace("Error parsing text-format caffe.NetParameter: ", "")
        index[name] = {"message": "NetParameter", "cpp": cpp, "python": python}
        print("%-34s %-60.60s | %.60s" % (name, cpp.replace("\n", " / "), python.replace("\n", " ")))
    with open("index.json", "w") as stream:
        json.dump(index, stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    main()
